"""A plain PyTorch DDPM++ and the released SSNI scheme as a plain loop: what `ssni_vs_stepwise.py` compares with."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ssni_jax.networks.song_unet import decoder_stages, encoder_stages

HALF_POWER = math.sqrt(0.5)


class Block(nn.Module):
    """Residual block of DDPM++, with optional resampling and attention; NCHW."""

    def __init__(self, stage, n_emb):
        super().__init__()
        n_in, n = stage.n_in, stage.n_out
        self.resample = stage.resample
        self.norm0, self.norm1 = norm(n_in), norm(n)
        self.conv0, self.conv1 = nn.Conv2d(n_in, n, 3, padding=1), nn.Conv2d(n, n, 3, padding=1)
        self.affine = nn.Linear(n_emb, n)
        self.skip = nn.Conv2d(n_in, n, 1) if n != n_in or stage.resample else None
        self.attention = Attention(n) if stage.attention else None

    def forward(self, x, emb):
        h = self.conv0(self._resampled(F.silu(self.norm0(x)))) + self.affine(emb)[:, :, None, None]
        h = self.conv1(F.silu(self.norm1(h)))
        x = (h + (x if self.skip is None else self.skip(self._resampled(x)))) * HALF_POWER
        return x if self.attention is None else (x + self.attention(x)) * HALF_POWER

    def _resampled(self, x):
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2) if self.resample == "up" else x


class Attention(nn.Module):
    """Single-head attention over positions."""

    def __init__(self, n):
        super().__init__()
        self.norm, self.qkv, self.proj = norm(n), nn.Linear(n, 3 * n), nn.Linear(n, n)

    def forward(self, x):
        rows = self.norm(x).flatten(2).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(*self.qkv(rows).chunk(3, dim=-1))
        return self.proj(mixed).transpose(1, 2).reshape(x.shape)


class Embedding(nn.Module):
    """Noise label to the vector that every block reads."""

    def __init__(self, n, n_out):
        super().__init__()
        self.layer0, self.layer1 = nn.Linear(n, n_out), nn.Linear(n_out, n_out)
        self.register_buffer("freqs", 10000.0 ** (-torch.arange(n // 2) / (n // 2 - 1)), persistent=False)

    def forward(self, label):
        phase = label[:, None] * self.freqs
        emb = torch.cat([phase.sin(), phase.cos()], dim=1)
        return F.silu(self.layer1(F.silu(self.layer0(emb))))


class DDPMpp(nn.Module):
    """The noise predictor F(x, label) of a DDPM++ `SongUNetConfig`; module names are those of our network."""

    def __init__(self, config):
        super().__init__()
        n_emb = config.model_channels * config.channel_mult_emb
        self.embed = Embedding(config.model_channels, n_emb)
        self.enc = nn.ModuleDict({s.name: made(s, n_emb) for s in encoder_stages(config)})
        self.joins = {s.name for s in decoder_stages(config) if s.joins}
        self.dec = nn.ModuleDict({s.name: made(s, n_emb) for s in decoder_stages(config)})

    def forward(self, x, label):
        emb, skips = self.embed(label), []
        for module in self.enc.values():
            skips.append(x := module(x, emb) if isinstance(module, Block) else module(x))
        for name, module in self.dec.items():
            x = torch.cat([x, skips.pop()], dim=1) if name in self.joins else x
            x = module(x, emb) if isinstance(module, Block) else module(F.silu(x) if name.endswith("aux_conv") else x)
        return x


def made(stage, n_emb):
    if stage.kind == "block":
        return Block(stage, n_emb)
    return norm(stage.n_in) if stage.kind == "aux_norm" else nn.Conv2d(stage.n_in, stage.n_out, 3, padding=1)


def norm(n):
    return nn.GroupNorm(max(1, min(32, n // 4)), n, eps=1e-6)


def load(network, arrays):
    """Our flat float32 arrays, kernels [.., in, out], into the network's parameters [out, in, ..]."""
    state = {}
    for key, array in arrays.items():
        path, leaf = key.rsplit("/", 1)
        turned = np.moveaxis(array, (-1, -2), (0, 1)) if leaf == "kernel" else array
        name = f"{path.replace('/', '.')}.{'bias' if leaf == 'bias' else 'weight'}"
        state[name] = torch.from_numpy(np.array(turned, order="C"))
    network.load_state_dict(state)
    return network.eval()


class Tables:
    """sqrt of abar and of 1 - abar and the network's label at index i, entry 0 being index -1: no noise."""

    def __init__(self, sigmas, labels):
        alpha = 1 / np.sqrt(1 + np.square(sigmas))
        self.alpha, self.std, self.label = (
            torch.tensor(v, dtype=torch.float32) for v in (alpha, sigmas * alpha, labels)
        )

    def at(self, k):
        return self.alpha[k].view(-1, 1, 1, 1), self.std[k].view(-1, 1, 1, 1)


@torch.inference_mode()
def eps_norm(network, x, levels):
    """Norm of the mean of the scores at `levels`, (alpha, std, label) each; a fresh draw each, one call each."""
    total = torch.zeros_like(x)
    for alpha, std, label in levels:
        noised = alpha * x + std * torch.randn_like(x)
        total -= network(noised, torch.full((len(x),), label)) / std
    return (total / len(levels)).flatten(1).norm(dim=1)


@torch.inference_mode()
def purify(network, tables, x, t, n_steps, draw=lambda x, _: torch.randn_like(x)):
    """DDPM from t [B] down in `n_steps` calls for every image, repeated where t is smaller (arXiv:2506.06027)."""
    alpha, std = tables.at(t)
    x = alpha * x + std * draw(x, -1)
    for row in range(n_steps):
        high, low = (torch.ceil(t * (n_steps - r) / n_steps).long() for r in (row, row + 1))
        (alpha, std), (alpha_to, std_to) = tables.at(high), tables.at(low)
        eps = network(x, tables.label[high])
        x0 = (x - std * eps) / alpha
        c1 = std_to / std * torch.sqrt((1 - (alpha / alpha_to) ** 2).clamp(min=0))
        x = alpha_to * x0 + c1 * draw(x, row) + torch.sqrt((std_to**2 - c1**2).clamp(min=0)) * eps
    return x
