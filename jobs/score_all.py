"""Score every item for every user and write each user's top-N as Parquet.

spark-submit jobs/score_all.py --data data/prepared --run-dir runs/best --output data/recommendations --top-n 10

With --predictions DIR also the predicted rating of every rating of the test split.
"""

from widedeep.spark.scoring.score_all import main
from widedeep.spark.session import run_job

if __name__ == "__main__":
    run_job(main)
