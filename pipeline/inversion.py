"""Pictures from outside as style vectors: the styles whose images are nearest to given pictures.

Gradient descent begins at the mean of the training styles and at a few of them, because from a single start
it may end in another kind of face, and goes on from where it got nearest. It moves in coordinates in which
the training styles are as wide in every direction. What is minimised is the mean squared difference of the
pixels, and a small pull toward the mean: pixels alone leave directions open that hardly show, and styles
that no training has seen are no fair test of an editor.

References:
    | Abdal, Qin, Wonka, "Image2StyleGAN", arXiv 1904.03189 (styles by optimisation)
    | Karras et al., "Analyzing and improving the image quality of StyleGAN", arXiv 1912.04958, appendix D
    (from the mean style, by Adam, with a rate that falls by a cosine)

Deviations:
    Pixels instead of a perceptual network, which not every domain has; one style for all layers, which is
    what editors edit; whitened coordinates, several starts; no noise is added to the styles on the way (it
    made no difference here), and that of the image stays constant.
"""

from __future__ import annotations

__all__ = ["AT_ONCE", "STARTS", "Inverter", "invert", "read_pictures"]

import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.base import Synthesis
from pipeline.metrics.image import rmse
from pipeline.metrics.realism import Mahalanobis

Pictures = NDArray[np.uint8]

PULL = 1e-3
"""Weight of the squared distance from the mean, 1 for a usual training style, against squared pixels."""

RATE = 0.4
"""The first step of Adam, in standard deviations of the training styles; it falls to 0 by half a cosine."""

STARTS = 7
"""Training styles to begin at: of 16 images of the embedded generator 5 were missed without, 2 with them."""

AT_ONCE = 4
"""Pictures of one shard of work: on a slow machine each takes minutes."""

ENDINGS = (".jpeg", ".jpg", ".png")


def invert(
    synthesize: Synthesis, images: Tensor, starts: Tensor, manifold: Mahalanobis, steps: int
) -> tuple[Tensor, Tensor]:
    """The styles whose images are nearest to ``images``; equal arguments give equal styles.

    Arguments:
        synthesize: differentiable in the styles.
        images: ``[N, 3, H, W]`` in [-1, 1], as large as the generator's.
        starts: styles to begin at beside the mean, ``[S, w_dim]``, such as training styles.
        manifold: mean and width of the training styles.
        steps: of Adam from the best start; each goes through the generator and back once. Every start is
            tried with a quarter of them.

    Returns:
        Styles ``[N, w_dim]``, and the RMSE of their images, ``[N]``, in [0, 2].
    """
    # A code is a style in standard deviations: whitened styles have the length 1, and w_dim coordinates.
    whitening = manifold.whitening * math.sqrt(len(manifold.mean))
    matrices = (manifold.mean, whitening, np.linalg.inv(whitening))
    mean, to_code, to_style = (torch.from_numpy(values).to(images) for values in matrices)

    def loss(code: Tensor) -> Tensor:
        apart = synthesize(mean + code @ to_style) - images
        return apart.square().flatten(1).mean(dim=1) + PULL * code.square().mean(dim=1)

    best = torch.full((len(images),), torch.inf).to(images)
    chosen = torch.zeros(len(images), len(mean)).to(images)
    for start in torch.cat([mean[None], starts.to(images)]):
        code = _descend(loss, ((start - mean) @ to_code).expand_as(chosen), math.ceil(steps / 4))
        with torch.no_grad():
            found = loss(code)
        chosen = torch.where((found < best)[:, None], code, chosen)
        best = torch.minimum(found, best)
    with torch.no_grad():
        w = mean + _descend(loss, chosen, steps) @ to_style
        return w, rmse(synthesize(w), images)


@torch.enable_grad()
def _descend(loss: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """Codes ``[N, w_dim]`` of a smaller loss, ``[N]``; no row has to do with another one."""
    code = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([code], lr=RATE)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        (code.grad,) = torch.autograd.grad(loss(code).sum(), code)
        optimiser.step()
        cosine.step()
    return code.detach()


class Inverter:
    """A worker that inverts pictures.

    Arguments:
        generator: its folder.
        starts: see :func:`invert`.
        manifold: mean and width of the training styles.
        steps: see :func:`invert`.
        device: where torch computes.
    """

    def __init__(
        self, generator: str, starts: NDArray[np.float32], manifold: Mahalanobis, steps: int, device: str
    ) -> None:
        self.synthesize = load_generator(generator, device=device).prepare()
        self.starts, self.manifold, self.steps = torch.from_numpy(starts), manifold, steps
        self.device = device

    def __call__(self, part: Mapping[str, Any]) -> dict[str, NDArray]:
        """``w [N, w_dim]`` and ``rmse [N]`` of ``pictures [N, H, W, 3]``, bytes."""
        images = torch.tensor(part["pictures"], device=self.device).permute(0, 3, 1, 2) / 127.5 - 1
        w, error = invert(self.synthesize, images, self.starts, self.manifold, self.steps)
        return {"w": w.cpu().numpy(), "rmse": error.cpu().numpy()}


def read_pictures(path: str | Path, resolution: int) -> Pictures:
    """Pictures as large as the generator's, ``[N, resolution, resolution, 3]``.

    They must show what the generator was trained on, in the same place: aligned faces for a generator of
    aligned faces. So nothing is cropped: a picture must be square, and at least of the generator's size;
    larger ones are shrunk (Lanczos).

    Arguments:
        path: a folder of PNG or JPEG files, which are taken in the order of their names, or an ``.npz`` file
            with ``pictures [N, H, W, 3]``, unsigned bytes.
        resolution: of the generator.

    Raises:
        PipelineError: when there are none, or one is damaged, not square or too small.
    """
    path = Path(path)
    read = _read_folder if path.is_dir() else _read_npz
    pictures = [_sized(picture, where, resolution) for where, picture in read(path).items()]
    if not pictures:
        raise PipelineError(
            f"expected pictures ({', '.join(ENDINGS)}), got none, in {path}: correct evaluate.pictures"
        )
    return np.stack(pictures)


def _read_npz(path: Path) -> dict[str, Image.Image]:
    """Every picture of an ``.npz`` file by what errors call it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pictures = file["pictures"]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise PipelineError(
            f"expected a folder of pictures, or an .npz file with 'pictures', got {type(error).__name__}, in "
            f"{path}: correct evaluate.pictures"
        ) from None
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3:
        raise PipelineError(
            f"expected pictures [N, H, W, 3] of unsigned bytes, got {pictures.dtype} {list(pictures.shape)}, "
            f"in {path}: write them as numpy.savez_compressed(path, pictures=…) does"
        )
    return {f"{path}, picture {i}": Image.fromarray(picture) for i, picture in enumerate(pictures)}


def _read_folder(path: Path) -> dict[str, Image.Image]:
    """Every picture of a folder by its path, upright, in RGB."""
    found = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in ENDINGS:
            continue
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                found[str(file)] = ImageOps.exif_transpose(picture).convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise PipelineError(
                f"expected a PNG or JPEG picture, got {type(error).__name__}, in {file}: remove or replace it"
            ) from None
    return found


def _sized(picture: Image.Image, where: str, resolution: int) -> Pictures:
    """A picture of the generator's size, ``[resolution, resolution, 3]``."""
    if picture.width != picture.height or picture.width < resolution:
        raise PipelineError(
            f"expected a square picture of at least {resolution}x{resolution} pixels, got "
            f"{picture.width}x{picture.height}, in {where}: crop it as the generator's training images were"
        )
    if picture.width > resolution:
        picture = picture.resize((resolution, resolution), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)
