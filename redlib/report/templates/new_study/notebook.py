# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # @TITLE@
#
# **Question.** Does a wide net fit its training data in fewer epochs than a narrow one?
#
# State here what you ask, who claimed what, and why it matters. Cite works of `references.bib` as
# [@frankle2019lottery].

# %% tags=["parameters"]
profile = "laptop"
seeds = 10  # judged seeds 0 … seeds-1 (tune on 1000–1009)
nets = {}  # settings of runs.Widths

# %%
from redlib import plots
from redlib.evidence.study import Study
from redlib.experiments.carry import carry_out, settings
from redlib.experiments.experiment import configure
from redlib.studies.@NAME@ import claims, figures, runs

plots.use_style()
study = Study("@STUDY@", profile)

# %% [markdown]
# ## 1. What we did
#
# Nets with one hidden layer learn handwritten digits. `Widths.run` builds all widths and seeds as one stack and
# trains them with one call of `fit`. Here are its settings, defaults included.

# %%
widths = configure(runs.Widths, nets, seeds=range(seeds))
settings(widths)

# %%
done = carry_out(study, {"nets": widths})

# %% [markdown]
# ## 2. What came out
#
# The check was fixed in `claims/@STUDY@.yaml` before the run. Words that depend on a number are chosen by it.

# %%
first = study.check(claims.@FUNCTION@_1(done["nets"]))
gap = first["error_narrow_minus_wide"]
study.figure(
    figures.over_training(done["nets"]),
    "@FIGURE@",
    claims=["@PREFIX@-1"],
    alt="Training error over the epochs, one curve for each width.",
    caption=f"At the end the narrow net errs {abs(gap):.1f} points {'more' if gap > 0 else 'less'} than the wide one.",
)

# %% [markdown]
# ## Limits
#
# Say at what scale this holds, what was tuned and left, and what would change the verdict.
#
# ## Exercises
#
# 1. Set `nets = {"widths": [2, 8, 64]}`. What happens to the narrowest?

# %%
study.conclude(answer=f"The wide net is ahead by {gap:.1f} points of training error (@PREFIX@-1 {first.verdict}).")
