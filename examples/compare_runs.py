"""Run two experiments and compare their records in a pandas frame.

Both answer from recorded LLM responses, so they need no key. Run it again with the same outputs directory, and the
finished runs are read instead of repeated.
"""

import sys

import pandas as pd

import alchemist_exp

outputs = sys.argv[1] if len(sys.argv) > 1 else "outputs"

rows = []
for label_model in ("majority", "dawid_skene"):
    result = alchemist_exp.run(
        ["dataset=youtube", f"label_model={label_model}", "+experiment=tiny", f"paths.outputs={outputs}"]
    )
    record = alchemist_exp.read_record(result.directory)
    rows.append(
        {
            "label_model": record.config["label_model"]["name"],
            "coverage": record.label_model["coverage"]["test"],
            "label_model_accuracy": record.label_model["metrics"]["test"]["accuracy"],
            "end_model_accuracy": record.end_model["metrics"]["test"]["accuracy"]["mean"],
            "seconds": record.seconds["total"],
        }
    )

print(pd.DataFrame(rows).set_index("label_model").round(3).to_string())
