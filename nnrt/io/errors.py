"""The error of every reader in this package."""


class FormatError(ValueError):
    """A file does not follow its format; the text names the file and what is wrong with it."""

    def __init__(self, path, problem):
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem

    def __reduce__(self):
        return FormatError, (self.path, self.problem)
