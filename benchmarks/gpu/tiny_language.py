"""Makes a language model of two blocks and a text of a few sentences, for a rehearsal.

python -m benchmarks.gpu.tiny_language FOLDER
"""

import sys
from pathlib import Path


def make(folder: Path) -> None:
    """Write the texts into `folder`/text, and the model with its tokenizer into `folder`/model."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))
    from support.language import model_folder, text_folder

    if not (folder / "model").exists():
        text_folder(folder / "text")
        model_folder(folder / "model", steps=5)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
