"""Known methods fitted on train, tuned on valid and written as systems to compare a model with.

spark-submit jobs/baselines.py --data data/prepared --output data/systems
"""

from widedeep.spark.baseline_fits.baselines import main
from widedeep.spark.session import run_job

if __name__ == "__main__":
    run_job(main)
