"""`cascade-exit search`, without installation."""

from cascade_exit.apps.search import main

if __name__ == "__main__":
    main()
