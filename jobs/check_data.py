"""A description of a data set and its files -> whether they fit, column by column.

spark-submit jobs/check_data.py --dataset mal2023 --input data/raw
"""

from widedeep.spark.preparation.check_data import main
from widedeep.spark.session import run_job

if __name__ == "__main__":
    run_job(main)
