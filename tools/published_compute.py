"""Rows of the table of published fits: laws of model size, tokens, compute, hyper-parameters and schedules.

A section takes ``read``, which reads a file of the measured data as in `tests/measured.py`, and yields rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import scalinglaws as sl
from measured import (
    Floats,
    Read,
    Table,
    chosen,
    curve_metrics,
    isoflop,
    isoflop_of_transformers,
    mpl_schedules,
    multi_power_curves,
    near_the_best,
    objective,
    steplaw,
)
from published_row import SCIPY, Row, Search, rms, values
from scalinglaws import rules
from scalinglaws.schedules import multi_power, multi_power_law

CHINCHILLA = ("A", "B", "E", "alpha", "beta")


def chinchilla(read: Read) -> Iterator[Row]:
    """Besiroglu et al. 2024: points read off a figure of Hoffmann et al. 2022."""
    law, name = sl.laws.chinchilla, "chinchilla_epoch.csv"
    runs = read(name, excluded="0")
    loss = sl.huber(1e-3)
    search = Search()
    fit = search.fit(law, runs, starts="paper")
    base = Row(
        law,
        f"{name}, 240 rows",
        "objective, Huber(1e-3)",
        ("0.0010182740346",),
        "Besiroglu et al. 2024, code",
        (fit.objective,),
        search,
        least=True,
        note="From the 4,500 starts of the paper's grid. The authors' L-BFGS stopped just above the minimum.",
    )
    yield base
    for entry, text, source, note in (
        (1, "0.00123116", "Hoffmann et al. 2022, coefficients in the TeX source", ""),
        (0, "0.00412101", "Hoffmann et al. 2022, rounded as printed", ""),
        (
            2,
            "0.00102284",
            "Besiroglu et al. 2024, Table 1",
            "Table 1 minimises absolute deviations, see the next row.",
        ),
    ):
        there = objective(law, runs, law.published[entry].values, loss)
        yield replace(
            base, published=(text,), source=f"at {source}", objective=(fit.objective, there), note=note
        )
    search = Search()
    fit = search.fit(law, runs, loss=sl.absolute())
    yield Row(
        law,
        f"{name}, 240 rows",
        "A, B, E, alpha, beta; absolute loss",
        ("482.01", "2085.43", "1.8172", "0.3478", "0.3658"),
        "Besiroglu et al. 2024, Table 1",
        values(fit, CHINCHILLA),
        search,
        objective=(fit.objective, objective(law, runs, law.published[2].values, sl.absolute())),
        note="The last digits of B, E and beta: the minimum is at 2085.436, 1.816864 and 0.365854, and the "
        "notebook prints 1.81686 and 0.36585.",
    )
    checked = ("482.00606", "2085.43625", "1.81686413", "0.34781307", "0.36585416")
    there = objective(law, runs, dict(zip(CHINCHILLA, map(float, checked), strict=True)), sl.absolute())
    yield Row(
        law,
        f"{name}, 240 rows",
        "A, B, E, alpha, beta; absolute loss",
        checked,
        SCIPY,
        values(fit, CHINCHILLA),
        search,
        objective=(fit.objective, there),
        note="Seven digits agree. The minimum is a corner where five residuals are 0; SciPy ended beside it.",
    )
    search = Search()
    fit = search.fit(law, read(name))
    yield Row(
        law,
        f"{name}, all 245 rows",
        "A, B, E, alpha, beta, objective",
        ("495.73", "12845.6", "1.89134", "0.34931", "0.45305", "0.00182601"),
        SCIPY,
        (*values(fit, CHINCHILLA), fit.objective),
        search,
    )


def gemstones(read: Read) -> Iterator[Row]:
    """McLeish et al. 2025: 22 shapes at a constant learning rate."""
    name, source = "gemstones.csv", "McLeish et al. 2025, code"
    runs, hot = read(name), read(name, within_100B="1")
    columns = {"w": "width", "d": "depth", "T": "D"}
    no_floor = "The floor runs to 0 in the released fit, too (log E is -155); here E is held at 0."
    for law, table, what, text, options, note in (
        ("chinchilla", runs, "N, D; Huber(1e-4)", "0.00069233", {"loss": sl.huber(1e-4)}, ""),
        ("chinchilla", runs, "N, D; Huber(1e-3)", "0.0065925344", {"loss": sl.huber(1e-3)}, ""),
        ("chinchilla", hot, "N, D; Huber(1e-4)", "0.0002076018", {"loss": sl.huber(1e-4)}, ""),
        (
            "gemstones_width_depth",
            runs,
            "width, depth, D; Huber(1e-4)",
            "0.0004199462",
            # Without the term in N its exponent has no meaning.
            {"columns": columns, "fixed": {"C": 0.0, "gamma": 0.5, "E": 0.0}},
            no_floor,
        ),
        (
            "gemstones_width_depth",
            runs,
            "width, depth, N, D; Huber(1e-4)",
            "0.0002949708",
            {"columns": columns},
            "",
        ),
    ):
        search = Search()
        fit = search.fit(law, table, **options)
        rows = "within_100B = 1" if table is hot else "all rows"
        yield Row(
            law,
            f"{name}, {rows}",
            f"objective, {what}",
            (text,),
            source,
            (fit.objective,),
            search,
            least=True,
            note=note,
        )


def isoflops(read: Read) -> Iterator[Row]:
    """Llama 3, Chinchilla as in ml-scalefit, and the transformers of the xLSTM paper."""
    file = "isoflop.csv"
    llama = read(file, experiment="llama_3")
    kept = chosen(llama, llama["outlier"] == 0)
    digitized = (
        "Points read off the paper's Figure 2. Its pair is cut to two digits: it gives 10.5e12 tokens, not "
        "the 16.55e12 that the paper prints."
    )
    yield from _tokens(llama, f"{file}, llama_3, all 133 rows", digitized)
    search = Search()
    fit = search.run(isoflop, kept["C"], kept["D"], kept["L"])
    label = f"{file}, llama_3, outlier = 0, 116 rows"
    yield Row(
        "power_product",
        label,
        "D* = A C^a: a, A",
        ("0.5000", "1.592"),
        SCIPY,
        (fit.values["a1"], fit.values["c"]),
        search,
        note="Two budgets fewer than above: parabolas are this sensitive.",
    )
    yield _surface(
        kept,
        label,
        ("62.82", "192.8", "0.61139", "0.31372", "0.32535", "0.00027595"),
        ("A", "B", "E", "alpha", "beta", "objective"),
    )
    mlscalefit = read(file, experiment="chinchilla_mlscalefit", outlier="0")
    label = f"{file}, chinchilla_mlscalefit, outlier = 0, 89 rows"
    search = Search()
    sizes, tokens = (search.run(isoflop, mlscalefit["C"], mlscalefit[x], mlscalefit["L"]) for x in ("N", "D"))
    yield Row(
        "power_product",
        label,
        "N* = k C^a, D* = m C^b: k, a, m, b",
        ("0.01317", "0.5415", "13.19", "0.4570"),
        SCIPY,
        (sizes.values["c"], sizes.values["a1"], tokens.values["c"], tokens.values["a1"]),
        search,
    )
    yield _surface(
        mlscalefit,
        label,
        ("491.6", "4823", "1.85064", "0.34783", "0.40707", "0.00038626"),
        ("A", "B", "E", "alpha", "beta", "objective"),
    )
    yield from _transformers(read)


def _tokens(llama: Table, label: str, note: str) -> Iterator[Row]:
    search = Search()
    fit = search.run(isoflop, llama["C"], llama["D"], llama["L"])
    a, A = fit.values["a1"], fit.values["c"]
    at = A * 3.8e25**a / 1e12
    law, what = "power_product", "D* = A C^a: a, A, D*(3.8e25) / 1e12"
    yield Row(law, label, what, ("0.53678", "0.29936", "16.10"), SCIPY, (a, A, at), search)
    yield Row(
        law,
        label,
        what,
        ("0.53", "0.29", "16.55"),
        "Llama 3, arXiv:2407.21783",
        (a, A, at),
        search,
        note=note,
    )


def _surface(runs: Table, label: str, published: tuple[str, ...], names: tuple[str, ...]) -> Row:
    """Approach 3: the loss law itself, Huber(1e-3) of log residuals."""
    search = Search()
    fit = search.fit("chinchilla", runs)
    found = {**fit.values, "objective": fit.objective, "rms": rms(fit)}
    ours = tuple(found[name] for name in names)
    return Row("chinchilla", label, ", ".join(names), published, SCIPY, ours, search)


def _transformers(read: Read) -> Iterator[Row]:
    name, paper = "xlstm_transformer_isoflop.csv", "Beck et al. 2025, arXiv:2510.02228"
    nominal = "By nominal budgets. With the computed ones the paper's exponents come out, see the next row."
    for ctx, budget, what, published, source, note in (
        (8192, "budget", "nominal C", ("0.5733", "0.4231"), SCIPY, ""),
        (8192, "budget", "nominal C", ("0.575", "0.424"), paper, nominal),
        (8192, "mean_C", "mean computed C of each budget", ("0.575", "0.424"), paper, ""),
        (2048, "budget", "nominal C", ("0.5515", "0.4212"), SCIPY, ""),
    ):
        runs = isoflop_of_transformers(read, ctx)
        search = Search()
        a, b = (search.run(isoflop, runs[budget], runs[x], runs["L"]).values["a1"] for x in ("N", "D"))
        yield Row(
            "power_product",
            f"{name}, ctx = {ctx}, kept = 1",
            f"N* ~ C^a, D* ~ C^b, {what}: a, b",
            published,
            source,
            (a, b),
            search,
            note=note,
        )
    yield _surface(
        isoflop_of_transformers(read, 8192),
        f"{name}, ctx = 8192, kept = 1",
        ("2.92e4", "1.89e7", "2.4846", "0.5896", "0.7972", "0.0068"),
        (*CHINCHILLA, "rms"),
    )
    yield _surface(
        isoflop_of_transformers(read, 2048),
        f"{name}, ctx = 2048, kept = 1",
        ("0.640", "0.904", "2.552", "0.0044"),
        ("alpha", "beta", "E", "rms"),
    )


# Exponents of N*(C): plain, weighted, and the plain coefficient.
PORIAN = {
    "1_kaplan": ("0.833768", "4.5098e-8", "0.835300"),
    "2_last_layer": ("0.700899", "1.61058e-5", "0.706470"),
    "3_warmup": ("0.603528", "1.34216e-3", "0.602038"),
    "4_cosine": ("0.571425", "4.78143e-3", "0.571495"),
    "5_tuned": ("0.497029", "0.118199", "0.496895"),
    "6_kaplan_tuned": ("0.708059", "1.03277e-5", "0.711488"),
}


def porian(read: Read) -> Iterator[Row]:
    """Porian et al. 2024: from Kaplan's exponent to Chinchilla's."""
    name = "porian_optimal.csv"
    law = sl.laws.power_product.over(i=("C",))
    for stage, published in PORIAN.items():
        runs = read(name, stage=stage)
        table = {"x_C": runs["C"], "y": runs["N_opt"]}
        search = Search()
        plain = search.fit(law, table)
        # polyfit squares its weights together with the residuals.
        weighted = search.fit(law, table, weights=1.0 / runs["N_opt_logstd"] ** 2)
        yield Row(
            "power_product",
            f"{name}, stage {stage}",
            "N* = k C^a: a, k; a weighted by 1/std",
            published,
            "Porian et al. 2024, code",
            (plain.values["a_C"], plain.values["c"], weighted.values["a_C"]),
            search,
        )
    yield _surface(
        near_the_best(read("porian_isoflop.csv", stage="4_cosine"), 0.25),
        "porian_isoflop.csv, stage 4_cosine, within 25 % of the best loss",
        ("897.6", "73712", "2.5633", "0.4019", "0.5668", "0.013"),
        (*CHINCHILLA, "rms"),
    )


def overtraining(read: Read) -> Iterator[Row]:
    """Gadre et al. 2024: five small runs predict two large ones, first their loss, then their error."""
    name, paper = "overtraining.csv", "Gadre et al. 2024, code"
    coefficients = {
        "c4": (("1.50826", "113.69", "189.52", "-0.24247"), ("0.84974", "2.0789", "0.75612")),
        "redpajama": (("1.83665", "166.21", "366.69", "-0.27285"), ("0.85699", "2.2065", "0.71459")),
    }
    errors = {
        "c4": (("1.50", "4.30"), (), SCIPY),
        "redpajama": (("0.7103", "0.7320"), ("3.6365", "0.0464"), paper),
    }
    for train_set, (first, second) in coefficients.items():
        runs = read(name, train_set=train_set)
        label = f"{name}, {train_set}"
        search, later = Search(), Search()
        fit = search.fit("overtraining", chosen(runs, runs["loss_fit"] == 1))
        E, a, b, eta = (fit.values[parameter] for parameter in ("E", "a", "b", "eta"))
        # The authors write a N**p + b 6**(p/2) D**p.
        yield Row(
            "overtraining",
            f"{label}, loss_fit = 1",
            "E, a, b, p",
            first,
            SCIPY,
            (E, a * 6.0**-eta, b, -2.0 * eta),
            search,
        )
        used = chosen(runs, (runs["loss_fit"] == 1) | (runs["role"] == "error_fit_only"))
        error = later.fit("downstream_error", used, columns={"Err": "err_avg17"})
        yield Row(
            "downstream_error",
            f"{label}, loss_fit = 1 and error_fit_only, 17 tasks",
            "eps, k, gamma",
            second,
            SCIPY,
            values(error, ("eps", "k", "gamma")),
            later,
        )
        target = read(name, train_set=train_set, role="target")
        loss = fit.predict(target).mean
        off = tuple(100.0 * np.abs(loss / target["L"] - 1.0))
        of_loss, of_error, source = errors[train_set]
        where = "1.4B at M = 640 and 6.9B" if train_set == "redpajama" else "1.4B at M = 80 and 6.9B"
        yield Row(
            "overtraining",
            f"{label}, role = target",
            f"error of the predicted loss in percent: {where}",
            of_loss,
            source,
            off,
            search,
        )
        if of_error:
            wrong = error.predict({"L": loss}).mean / target["err_avg17"] - 1.0
            yield Row(
                "downstream_error",
                f"{label}, role = target, 17 tasks",
                f"error of the error predicted from the predicted loss in percent: {where}",
                of_error,
                source,
                tuple(100.0 * np.abs(wrong)),
                later,
            )


def hyperparameters(read: Read) -> Iterator[Row]:
    """Li et al. 2025 (Step Law): learning rate and batch size over 17 (N, D) settings."""
    name, law = "steplaw_dense.csv", "power_product"
    grid = steplaw(read)
    N, D = grid["cells"]["N"], grid["cells"]["D"]
    search = Search()
    rule = {"lr": 1.79 * N**-0.713 * D**0.307, "batch": 0.58 * D**0.571}
    cost = 100.0 * search.run(rules.excess_loss, **grid, rule=rule).excess
    base = Row(
        law,
        f"{name}, 17 cells",
        "excess loss in percent of the run nearest to the published rule: mean, largest",
        ("0.096", "0.31"),
        SCIPY,
        (cost.mean(), cost.max()),
        search,
    )
    yield base
    yield replace(
        base,
        compared="excess loss of the published rule in percent",
        published=("0.09",),
        source="Li et al. 2025",
        ours=(cost.mean(),),
        note="The nearest run of the grid stands for a run at the rule itself, which is not in the table.",
    )
    rate_of, batch_of = "lr* = c N^a D^b: c, a, b", "batch* = c D^b in tokens: c, b"
    for how, options, rate, batch in (
        ("quadratic within 0.06", {"within": 0.06}, ("8.605", "-0.6814", "0.2035"), ("0.4268", "0.5791")),
        ("best run", {"method": "lowest"}, ("30.1", "-0.8235", "0.2882"), ("3.416", "0.4983")),
    ):
        search = Search()
        optima = search.run(rules.optima_of_cells, **grid, **options)
        lr = search.run(optima.power_law, "lr")
        size = search.run(optima.power_law, "batch", on=["D"])
        label = f"{name}, {how} of each of 17 cells"
        yield Row(law, label, rate_of, rate, SCIPY, values(lr, ("c", "a1", "a2")), search)
        yield Row(law, label, batch_of, batch, SCIPY, values(size, ("c", "a1")), search)
        if how.startswith("quadratic"):
            mine = {"lr": _at(lr, N, D), "batch": _at(size, D)}
            note = (
                "Published are means over 1,000 bootstrap fits of optima that are not released. Rates near "
                "the best cost little: the rule fitted here costs "
                f"{100.0 * rules.excess_loss(**grid, rule=mine).excess.mean():.2f} % by the nearest run."
            )
            source = "Li et al. 2025, rounded bootstrap means"
            yield Row(
                law,
                label,
                rate_of,
                ("1.79", "-0.713", "0.307"),
                source,
                values(lr, ("c", "a1", "a2")),
                search,
                note=note,
            )
            yield Row(
                law, label, batch_of, ("0.58", "0.571"), source, values(size, ("c", "a1")), search, note=note
            )


def _at(fit: sl.Fit, *x: Floats) -> Floats:
    c, *powers = fit.values.values()
    at: Floats = np.prod([each**power for each, power in zip(x, powers, strict=True)], axis=0)
    return c * at


# Test metrics; objectives on the fitted curves at the published coefficients, and where L-BFGS ends.
MULTI_POWER = {
    "100M": (1, ("0.9983", "0.00435", "0.00592", "0.00142", "0.00583"), "0.000280962", "0.0000293"),
    "400M": (2, ("0.9978", "0.00484", "0.00730", "0.00168", "0.00995"), "0.000576985", "0.0000794"),
}


def schedules(read: Read) -> Iterator[Row]:
    """Luo et al. 2025: whole loss curves, fitted on three schedules and predicted on six."""
    name, paper = "mpl_curves.csv", "Luo et al. 2025, code"
    what = "R2, MAE, RMSE, mean and worst relative error"
    made_for = mpl_schedules(read("mpl_schedules.csv"))
    for model, (index, metrics, at_published, known) in MULTI_POWER.items():
        rows, later = (read(name, model=model, split=split) for split in ("fit", "test"))
        released = multi_power_law(1).published[index].values
        law, six, three = (
            "schedules.multi_power_law",
            f"{name}, {model}, six test curves",
            f"{name}, {model}, three fit curves",
        )
        search = Search()
        there = curve_metrics(later, search.run(multi_power_curves, made_for, later, released))
        yield Row(law, six, f"{what}, published coefficients", metrics, paper, tuple(there), search)
        search = Search()
        made = search.run(multi_power, made_for, rows["curve"], rows["step"])
        fit = search.fit(made.law, {**made.columns, "L": rows["L"]}, starts=256)
        base = Row(
            law,
            three,
            "objective, Huber(1e-3)",
            (at_published,),
            f"at the coefficients of {paper}",
            (fit.objective,),
            search,
            least=True,
            note="The released coefficients are those after 200 steps of AdamW.",
        )
        yield base
        yield replace(base, published=(known,), source=SCIPY, note="L-BFGS from the released coefficients.")
        ours = curve_metrics(later, multi_power_curves(made_for, later, fit.values))
        yield Row(
            law,
            six,
            f"{what}, our minimum",
            metrics,
            paper,
            tuple(ours),
            search,
            note="The minimum on three curves has a smaller worst error on the six others, but no smaller "
            "average error: B, C, beta and gamma make up for each other; stopping early happened to help.",
        )


SECTIONS = (chinchilla, gemstones, isoflops, porian, overtraining, hyperparameters, schedules)
