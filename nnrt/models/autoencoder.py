"""Autoencoders: a convolutional one, and variational ones (Kingma, Welling, "Auto-encoding variational Bayes", 2013).

    ConvAutoencoder, ConvVAE   1 x 28 x 28 -> 32 x 14 x 14 -> 64 x 7 x 7 -> latent -> 64 x 7 x 7 -> 32 x 14 x 14 -> 1 x 28 x 28
    VAE                        784 -> 400 -> latent -> 400 -> 784

    z = mu + exp(logvar / 2) eps,  eps ~ N(0, 1);   loss = -log p(x | z) + KL(N(mu, exp(logvar)) || N(0, 1))
"""

from .. import exp, nn, randn_like, sigmoid
from ..nn import functional as F


class ConvAutoencoder(nn.Module):
    """Images [N, in_channels, size, size] in [0, 1] again, through `latent` numbers; size divisible by 4."""

    def __init__(self, in_channels=1, size=28, width=32, latent=20):
        super().__init__()
        self.encoder = nn.Sequential(*_encoder(in_channels, width), nn.Linear(2 * width * (size // 4) ** 2, latent))
        self.decoder = _decoder(in_channels, size, width, latent)

    def forward(self, x):
        return sigmoid(self.decoder(self.encoder(x)))


class _Variational(nn.Module):
    """What variational autoencoders share; encode(x) -> mu, logvar and decode(z) -> probabilities are theirs."""

    def reparameterize(self, mu, logvar):
        """A sample of N(mu, exp(logvar)) that gradients pass through."""
        return mu + randn_like(mu) * exp(0.5 * logvar)

    def forward(self, x):
        """(reconstruction, mu, logvar)."""
        mu, logvar = self.encode(x)
        return self.decode(self.reparameterize(mu, logvar)), mu, logvar


class ConvVAE(_Variational):
    """Images [N, in_channels, size, size] in [0, 1]; size divisible by 4."""

    def __init__(self, in_channels=1, size=28, width=32, latent=20):
        super().__init__()
        features = 2 * width * (size // 4) ** 2
        self.encoder = _encoder(in_channels, width)
        self.mu = nn.Linear(features, latent)
        self.logvar = nn.Linear(features, latent)
        self.decoder = _decoder(in_channels, size, width, latent)

    def encode(self, x):
        """(mean, log variance) of q(z | x), [N, latent] each."""
        h = self.encoder(x)
        return self.mu(h), self.logvar(h)

    def decode(self, z):
        """Probabilities of the pixels, images, for z [N, latent]."""
        return sigmoid(self.decoder(z))


class VAE(_Variational):
    """Vectors [N, num_inputs] in [0, 1], also given as images; names as in torch's example. 652,824 parameters."""

    def __init__(self, num_inputs=784, hidden=400, latent=20):
        super().__init__()
        self.fc1 = nn.Linear(num_inputs, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, num_inputs)

    def encode(self, x):
        """(mean, log variance) of q(z | x), [N, latent] each."""
        h = F.relu(self.fc1(x.flatten(1)))
        return self.fc21(h), self.fc22(h)

    def decode(self, z):
        """Probabilities [N, num_inputs] for z [N, latent]."""
        return sigmoid(self.fc4(F.relu(self.fc3(z))))


def vae_loss(reconstruction, x, mu, logvar, beta=1.0):
    """-log p(x | z) + beta KL, per sample; reconstruction: probabilities of the pixels x in [0, 1].

    beta below 1 rebuilds more sharply, above 1 orders the latent numbers more (Higgins et al., 2017).
    """
    error = F.binary_cross_entropy(reconstruction, x.reshape(reconstruction.shape), reduction="sum")
    kl = -0.5 * (1 + logvar - mu * mu - exp(logvar)).sum()
    return (error + beta * kl) / x.shape[0]


def _encoder(in_channels, width):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
    )


def _decoder(in_channels, size, width, latent):
    return nn.Sequential(
        nn.Linear(latent, 2 * width * (size // 4) ** 2),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (2 * width, size // 4, size // 4)),
        nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.ConvTranspose2d(width, in_channels, 4, stride=2, padding=1),
    )
