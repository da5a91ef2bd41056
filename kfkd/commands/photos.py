"""kfkd detect: from photos to keypoints."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from kfkd.commands.backend import calm_tensorflow
from kfkd.commands.parts import (
    Parser,
    add_verb,
    print_answer,
    print_figures,
    with_json,
    with_quiet,
)
from kfkd.progress import say


def add_photos(verbs: Any) -> None:
    """Adds the verb."""
    about = "find faces and keypoints in photos, a video or a camera"
    verb = add_verb(verbs, "detect", detect, about, with_json, with_quiet)
    about = "a run, where it shall not be the best one that comes with the package; then image "
    verb.add_argument("inputs", nargs="*", metavar="[RUN] PHOTO", help=about + "files and folders")
    verb.add_argument("--video", metavar="SOURCE", help="a video file, or a camera's number")
    about = "faces.json, faces.csv and drawn photos go there (a video's: kfkd-detect)"
    verb.add_argument("--out", metavar="DIR", help=about)
    _add_finding(verb)
    about = "turn faces by their predicted eyes N times, for detectors without eyes"
    verb.add_argument("--refine", type=int, default=0, metavar="N", help=about)
    verb.add_argument("--batch-size", type=int, default=32, metavar="N", help="photos at a time")


def _add_finding(verb: Parser) -> None:
    about = "mtcnn (default), haar, yunet, or box"
    verb.add_argument("--detector", metavar="NAME", help=about)
    verb.add_argument("--faces", choices=("all", "biggest"), default="all")
    about = "faces that the detector is less sure of are left out (default: its usual value)"
    verb.add_argument("--least-score", type=float, metavar="S", help=about)
    about = "where the face is, in pixels; may be given several times"
    box: dict[str, Any] = {"nargs": 4, "type": float, "action": "append"}
    verb.add_argument("--box", **box, metavar=tuple("XYWH"), help=about)
    about = "a data set of photos, such as ibug:DIR, whose boxes say where faces are"
    verb.add_argument("--boxes", metavar="DATA", help=about)


def detect(options: Namespace) -> None:
    """Finds faces and keypoints in photos or a video."""
    from kfkd.detecting_commands import asked

    settings = asked(options)
    calm_tensorflow()
    if options.video is not None:
        from kfkd.detecting_video import detect_video

        print_figures(detect_video(**settings).as_dict(), options.json)
        return
    from kfkd.detecting import detect as verb
    from kfkd.detections import summary, table

    found = verb(**settings)
    print_answer([photo.as_dict() for photo in found], options.json, table(found))
    say(summary(found), options.quiet)
