"""A raw dump -> one HTML page of what is in it.

spark-submit jobs/explore.py --input data/raw --prepared data/prepared --output explore.html
"""

from widedeep.spark.exploration.explore import main
from widedeep.spark.session import run_job

if __name__ == "__main__":
    run_job(main)
