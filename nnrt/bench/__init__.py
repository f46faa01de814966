"""The comparison with other libraries: `python -m nnrt bench`.

Every workload is defined once (workloads.py) and runs the same code with nnrt and with torch.
compare.py checks each peer's result against nnrt's before it times anything; worker.py is
the process in which one library runs; report.py makes the tables and the picture.
"""
