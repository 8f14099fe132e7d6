"""CSV dump -> validated, encoded, equally sized Parquet shards and feature tables.

spark-submit jobs/prepare.py --input data/raw --output data/prepared
"""

from widedeep.spark.preparation.prepare import main
from widedeep.spark.session import run_job

if __name__ == "__main__":
    run_job(main)
