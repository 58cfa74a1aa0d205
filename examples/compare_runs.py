"""Run two experiments and compare their records in a pandas frame.

Both use recorded LLM responses, so they need no key. They have an outputs directory of their own. In a second run the
finished runs are read instead of repeated.
"""

import sys

import alchemist_exp

outputs = sys.argv[1] if len(sys.argv) > 1 else "outputs/example_compare_runs"

keys = []
for label_model in ("majority", "dawid_skene"):
    result = alchemist_exp.run([f"label_model={label_model}", "+experiment=tiny", f"paths.outputs={outputs}"])
    keys.append(result.record.run_key)
    print(label_model, "was finished before" if result.reused else "is finished", result.directory)

runs = alchemist_exp.load_runs(outputs).loc[keys]  # an earlier version of the program may have made others
columns = {
    "label_model.coverage.test": "coverage",
    "label_model.metrics.test.accuracy": "label model",
    "end_model.metrics.test.accuracy.mean": "end model",
    "seconds.total": "seconds",
}
print(runs.set_index("label_model")[list(columns)].rename(columns=columns).astype(float).round(3).to_string())
