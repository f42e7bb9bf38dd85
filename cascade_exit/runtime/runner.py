"""The runner: every image really stops at the exit that the policy chooses for it."""

import time
import warnings
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from cascade_exit.data import resize_image
from cascade_exit.model import FULL, Detections, Digest, ExitOutput, State, decode_kept, make_digest
from cascade_exit.model.checkpoint import Checkpoint
from cascade_exit.policies import Policy
from cascade_exit.policies.drift import DriftMonitor
from cascade_exit.runtime.detector import Detector, Photo, as_pixels


class DriftWarning(UserWarning):
    """Live exit rates are not those that the policy was tuned for."""


@dataclass(frozen=True, eq=False)
class Stopped:
    """Where one image stopped, and what was found there.

    Attributes:
        exit_name: the exit taken.
        exit_index: its place among the detector's `exit_names`.
        detections: best score first; scores as the policy calibrates them.
        digest: of the exit taken, as a batch of one and before calibration; None unless asked for.
    """

    exit_name: str
    exit_index: int
    detections: Detections
    digest: Digest | None


class Runner:
    """A detector that stops as soon as its policy says so.

    The images of a batch that stop leave it: later stages run on the others only. Boxes are decoded at the exit
    taken and nowhere else. An exit without a rule, whose answer nothing else needs, is passed by.

    Args:
        detector: a detector, or the checkpoint to make one from.
        policy: decides which images stop where.
        device: where a checkpoint's network runs; a detector stays where it is.

    Attributes:
        detector: the detector.
        policy: the policy.
        class_map: what the labels mean.
        exit_names: from shallow to deep.
        postprocessing_s: seconds spent so far on boxes, suppression and calibration, on the CPU.

    Raises:
        UserError: the policy is made for other classes or exits.
    """

    def __init__(self, detector: Detector | Checkpoint, policy: Policy, device: str | torch.device = "cpu") -> None:
        self.detector = detector if isinstance(detector, Detector) else Detector(detector, device)
        self.policy = policy
        self.class_map, self.exit_names = self.detector.class_map, self.detector.exit_names
        self._check_policy()
        compared = {before for before, name in pairwise(self.exit_names) if policy.compares(name)}
        # Whoever may leave at an exit takes along what the exit before had a say in.
        averaged_with = self.detector.checkpoint.model.averaged_with
        self._averaged = averaged_with.keys() & {*policy.rules, FULL}
        self._digested = {*policy.rules, *compared, *(averaged_with[name] for name in self._averaged)}
        network = self.detector.network
        self._answering, self._running = (of({*self._digested, FULL}) for of in (network.answering, network.running))
        self._drift = DriftMonitor(policy)
        self.postprocessing_s = 0.0

    def __call__(self, photo: Photo) -> Detections:
        """Detections of the exit that the photo stops at; see `detect` for `photo`."""
        return self.detect(photo).detections

    def detect(self, photo: Photo, digest: bool = False) -> Stopped:
        """Runs one photo until it stops.

        Args:
            photo: a file, a PIL image, an array `[height, width, 3]` or a tensor `[3, height, width]`, RGB uint8.
            digest: give the digest of the exit taken, too.

        Returns:
            The exit taken, and detections with boxes in pixels of the photo.

        Raises:
            UserError: the file is missing or no image.
            TypeError: an array or tensor is not RGB uint8 of that shape.
        """
        pixels = as_pixels(photo)
        size = torch.tensor([[pixels.shape[1], pixels.shape[2]]])
        return self.detect_batch(resize_image(pixels, self.detector.checkpoint.model.input)[None], size, digest)[0]

    @torch.inference_mode()
    def detect_batch(
        self,
        images: UInt8[Tensor, "batch 3 row column"],
        original_sizes: Int[Tensor, "batch 2"] | None = None,
        digest: bool = False,
    ) -> list[Stopped]:
        """Runs each image of a batch until it stops.

        Args:
            images: RGB at the input size.
            original_sizes: height and width of each original image; boxes are in pixels of the input without it.
            digest: give the digests of the exits taken, too.

        Returns:
            The exit taken and the detections of each image.

        Raises:
            ValueError: the images are not uint8, or not of the input's size.
        """
        if not len(images):
            return []
        if original_sizes is None:
            original_sizes = torch.tensor([images.shape[-2:]] * len(images))
        found = self._run(images, original_sizes.to(self.detector.device), digest)
        self._watch_drift(found)
        return found

    def _check_policy(self) -> None:
        self.policy.check_exits(self.exit_names)
        # The weights' fingerprint is not known here: who reads a policy from a file checks it.
        self.policy.check(self.policy.model, self.class_map.names)

    def _run(self, images: Tensor, sizes: Tensor, with_digest: bool) -> list[Stopped]:
        network, device = self.detector.network, self.detector.device
        state = network.start(self.detector.fed(images), self._running)
        places, previous = torch.arange(len(images), device=device), None
        found: dict[int, Stopped] = {}
        for name in self._running:
            state = network.advance(name, state)
            if name not in self._answering:
                previous = None
                continue
            output, state = network.answer(name, state)
            digest = make_digest(output, network.grids[name]) if name in self._digested or with_digest else None
            stops = self._stops(name, digest, previous, len(places))
            leave, stay = (mask.nonzero()[:, 0] for mask in (stops, ~stops))
            earlier = previous.of(leave) if previous is not None and name in self._averaged else None
            left = _rows(places, leave)
            stopped = self._leave(name, output, digest if with_digest else None, earlier, leave, _rows(sizes, left))
            found.update(zip(left.tolist(), stopped, strict=True))
            if not len(stay):
                break
            if len(leave):
                places, state, digest = places[stay], _of(state, stay), digest.of(stay) if digest else None
            previous = digest
        return [found[place] for place in range(len(images))]

    def _stops(self, name: str, digest: Digest | None, previous: Digest | None, images: int) -> Bool[Tensor, " batch"]:
        if name in self.policy.rules:
            assert digest is not None
            return self.policy.stops(name, digest, previous)
        return torch.full((images,), name == FULL, device=self.detector.device)

    def _leave(
        self,
        name: str,
        output: ExitOutput,
        digest: Digest | None,
        earlier: Digest | None,
        leave: Tensor,
        sizes: Tensor,
    ) -> list[Stopped]:
        """What the images that leave at an exit take along."""
        if not len(leave):
            return []
        begun = time.perf_counter()
        checkpoint, index = self.detector.checkpoint, self.exit_names.index(name)
        answers = ExitOutput(*(_rows(part, leave) for part in output))
        grid, input_config = self.detector.network.grids[name], checkpoint.model.input
        kept = decode_kept(answers, grid, input_config, sizes, checkpoint.decoding, earlier)
        stopped = [
            Stopped(
                name,
                index,
                calibrated(self.policy, name, one.detections, one.logits),
                # As tensors: what makes them would keep the whole batch's answer.
                None if digest is None else Digest(*digest.of(image[None])),
            )
            for image, one in zip(leave, kept, strict=True)
        ]
        self.postprocessing_s += time.perf_counter() - begun
        return stopped

    def _watch_drift(self, found: list[Stopped]) -> None:
        message = self._drift.update(Counter(one.exit_name for one in found))
        if message is not None:
            warnings.warn(message, DriftWarning, stacklevel=3)


def _rows(of: Tensor, images: Int[Tensor, " image"]) -> Tensor:
    """The rows of some images, in ascending order; no copy where that is all of them."""
    return of if len(images) == len(of) else of[images]


def _of(state: State, images: Tensor) -> State:
    """The state of some of the images."""
    return {key: value[images] for key, value in state.items()}


def calibrated(policy: Policy, name: str, found: Detections, logits: Float[Tensor, "detection label"]) -> Detections:
    """Detections of exit `name` with the scores that the policy's calibration gives them, best score first.

    Args:
        policy: holds the calibration.
        name: the exit.
        found: detections of one image.
        logits: class logits of the anchor that each detection came from.
    """
    calibration = policy.calibration.get(name)
    if calibration is None:
        return found
    scores = torch.as_tensor(calibration.scores(logits, found.labels))
    # A temperature may change which of two anchors has the higher score.
    order = scores.sort(descending=True, stable=True).indices
    return Detections(found.boxes[order], scores[order], found.labels[order])
