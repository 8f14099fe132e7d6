"""Measure every system on the test split in the same way.

spark-submit jobs/evaluate.py --data data/prepared --systems data/systems
"""

from widedeep.spark.evaluation.evaluate import main
from widedeep.spark.session import run_job

if __name__ == "__main__":
    run_job(main)
