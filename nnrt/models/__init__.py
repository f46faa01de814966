"""Models from the literature, a file per family; they hold random weights until a state_dict is loaded.

Where torchvision has the model, parameter names and arguments are torchvision's.
"""

# ruff: noqa: F401
from .alexnet import AlexNet, alexnet
from .autoencoder import VAE, ConvAutoencoder, ConvVAE, vae_loss
from .bert import BERT, mask_tokens
from .char_rnn import CharRNN
from .dcgan import Discriminator, Generator
from .densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from .efficientnet import EfficientNet, efficientnet_b0
from .gmlp import GMLP
from .googlenet import GoogLeNet, GoogLeNetOutputs, googlenet
from .gpt import GPT, MoEGPT, Primer
from .lenet import LeNet
from .mobilenet import MobileNetV1, MobileNetV2, mobilenet_v1, mobilenet_v2
from .nin import NiN
from .resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from .resnet_cifar import ResNetCIFAR, resnet20
from .segan import SEGANGenerator
from .seq2seq import Seq2Seq, Tagger
from .sparse import BigBird, Longformer, SparseEncoder, SparseTransformer
from .textcnn import TextCNN
from .transformer import Transformer
from .unet import UNet
from .xception import Xception
