"""
A smooth curve
==============

The yearly flow of the Nile at Aswan as a smooth function of time: B-splines of scikit-learn, a penalty on their second
differences, and a strength that the evidence chooses. It prints the fit, and draws the curve with its credible band
beside the evidence of other strengths ::

    python examples/spline_smooth.py [--out FOLDER] [--docs FOLDER]

``--docs`` writes a small picture for the documentation instead.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from sk_hessian.inspection import PenaltyPathDisplay, laplace
from sk_hessian.linear_model import Ridge
from sk_hessian.penalties import Differences

#: 1871 to 1970, in 10^8 cubic metres (Cobb 1978)
FLOW = """
1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180 799 958 1140 1100 1210 1150 1250 1260
1220 1030 1100 774 840 874 694 940 833 701 916 692 1020 1050 969 831 726 456 824 702 1120 1100 832 764 821 768 845 864
862 698 845 744 796 1040 759 781 865 845 944 984 897 822 1010 771 676 649 846 812 742 801 1040 860 874 848 890 744 749
838 1050 918 986 797 923 975 815 1020 906 901 1170 912 746 919 718 714 740
"""


def smooth():
    """The model: a basis without its last spline, whose coefficient is zero, because an intercept is there too."""
    basis = SplineTransformer(n_knots=20, include_bias=False)
    return make_pipeline(basis, Ridge("evidence", penalty_weights=Differences(2, dropped="last")))


def describe(model, posterior):
    """Print what the fit is."""
    ridge, path = model[-1], model[-1].penalty_path_
    print(f"verdict           {ridge.convergence_.status}")
    print(f"alpha             {ridge.alpha_:.4g}, by the evidence, from {len(path.values)} strengths")
    print(f"parameters        {posterior.effective_df:.1f} of {len(ridge.coef_) + 1}, the others are the penalty's")
    print(f"noise             {np.sqrt(posterior.dispersion):.0f}, the deviation of a year from the curve")


def draw(plt, model, year, flow):
    """The curve with its band, too stiff and too loose ones, and the evidence of all strengths."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(2, 1), layout="constrained")
    grid = np.linspace(year.min(), year.max(), 300)[:, None]
    mean, deviation = laplace(model, year, flow, dispersion="evidence").predict(grid)
    left.plot(year, flow, ".", color="0.4")
    left.plot(grid, mean, label=f"alpha = {model[-1].alpha_:.3g}, most evidence")
    left.fill_between(grid[:, 0], mean - 1.96 * deviation, mean + 1.96 * deviation, alpha=0.25, label="95% band")
    for factor, style in ((1e-3, ":"), (1e4, "--")):
        other = clone(model).set_params(ridge__alpha=factor * model[-1].alpha_).fit(year, flow)
        left.plot(grid, other.predict(grid), style, color="0.3", label=f"{factor:g} times alpha")
    left.set(xlabel="year", ylabel="flow of the Nile, 10$^8$ m$^3$")
    left.legend(loc="lower left", fontsize="small")
    PenaltyPathDisplay.from_estimator(model, ax=right)
    return figure


def save_small(figure, path):
    """A picture of few bytes."""
    from PIL import Image  # comes with matplotlib

    figure.savefig(path, dpi=80)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main():
    """Fit, print, draw."""
    parser = argparse.ArgumentParser(description="A smooth curve whose strength the evidence chooses.")
    parser.add_argument("--out", type=Path, default=Path(sys.argv[0]).parent, help="folder of the picture")
    parser.add_argument("--docs", type=Path, help="folder of a small picture for the documentation, instead")
    options = parser.parse_args()
    flow = np.array(FLOW.split(), dtype=float)
    year = np.arange(1871.0, 1971.0)[:, None]
    model = smooth().fit(year, flow)
    describe(model, laplace(model, year, flow, dispersion="evidence"))
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        print("the picture needs matplotlib (the plot extra installs it)")
        return
    folder = options.docs or options.out
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spline_smooth.png"
    figure = draw(plt, model, year, flow)
    save_small(figure, path) if options.docs else figure.savefig(path, dpi=120)
    print(f"picture           {path}")


if __name__ == "__main__":
    main()
