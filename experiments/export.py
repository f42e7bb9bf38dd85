"""`cascade-exit export`, without installation."""

from cascade_exit.apps.export import main

if __name__ == "__main__":
    main()
