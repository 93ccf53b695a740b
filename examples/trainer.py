"""The energy of a Hugging Face `Trainer`: a GPT-2 of two small blocks, on text made here.

    pip install -e '.[language]'
    python examples/trainer.py

Nothing is downloaded: the network starts from random weights. `energybench show trainer.json` has
the run, epoch by epoch.
"""

import tempfile

import torch

# First: it lets transformers import a torchvision that was built for another torch.
from energybench.app.callbacks.trainer import EnergyCallback  # isort: skip

from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

LENGTH, BLOCKS = 32, 64
TEXT = b"Measure first; then decide. " * 100


class Blocks(torch.utils.data.Dataset):
    """Blocks of bytes, (LENGTH,) int64, each its own label."""

    def __len__(self):
        return BLOCKS

    def __getitem__(self, place):
        tokens = torch.tensor(list(TEXT[place : place + LENGTH]))
        return {"input_ids": tokens, "labels": tokens}


def main():
    """Train for two epochs, and print what they took."""
    torch.manual_seed(0)
    size = {"n_layer": 2, "n_embd": 64, "n_head": 2, "n_positions": LENGTH, "vocab_size": 256}
    model = GPT2LMHeadModel(GPT2Config(**size, bos_token_id=0, eos_token_id=0))
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=2,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        save_strategy="no",
        logging_strategy="epoch",
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
        disable_tqdm=True,
    )
    energy = EnergyCallback("tiny-gpt2", save="trainer.json")
    trainer = Trainer(model=model, args=arguments, train_dataset=Blocks(), callbacks=[energy])
    done = trainer.train()
    print(f"loss {done.training_loss:.2f} after {done.global_step} steps: {energy.run}")


if __name__ == "__main__":
    main()
