"""``python -m ensemble_forecast VERB``."""

from ensemble_forecast.cli import main

if __name__ == "__main__":
    main()
