"""Code of the processes that run labeling programs: a zygote that loads modules once, and the workers it forks.

The parent compiles these modules and sends them to a new interpreter (`zygote.worker_code`), which has no path to this
package. They import the standard library and each other, and nothing else. Every name in them is visible to a hostile
program, so they hold no secret and no decision: the parent checks the result of each worker.
"""
