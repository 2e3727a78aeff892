"""Print how long ``--help`` and ``import ensemble_forecast`` take: the median of seven runs each (wanted: --help below 0.7 s)."""

import statistics
import subprocess
import sys
import time

COMMANDS = {"--help": ["-m", "ensemble_forecast", "--help"], "import": ["-c", "import ensemble_forecast"], "python alone": ["-c", "pass"]}


def main() -> None:
    """Time each command."""
    for name, arguments in COMMANDS.items():
        seconds = []
        for _ in range(7):
            begun = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds.append(time.perf_counter() - begun)
        print(f"{name}: {statistics.median(seconds):.2f} s (from {min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
