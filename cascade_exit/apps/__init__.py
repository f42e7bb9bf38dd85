"""One Hydra app per verb; `experiments/<verb>.py` and the console command call them."""
