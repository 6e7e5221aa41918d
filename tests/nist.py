"""The Statistical Reference Datasets of NIST for linear least squares, with their certified coefficients.

Data and certified values: National Institute of Standards and Technology, https://www.itl.nist.gov/div898/strd/lls/lls.shtml
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Reference:
    """A dataset: its design without the constant, and the certified coefficients, the intercept first."""

    X: np.ndarray
    y: np.ndarray
    coef: np.ndarray
    fit_intercept: bool = True


def _powers(x, degree):
    return np.stack([np.asarray(x, dtype=float) ** k for k in range(1, degree + 1)], axis=1)


def _norris():
    rows = """
        0.1 0.2 338.8 337.4 118.1 118.2 888.0 884.6 9.2 10.1 228.1 226.5 668.5 666.3 998.5 996.3 449.1 448.6
        778.9 777.0 559.2 558.2 0.3 0.4 0.1 0.6 778.1 775.5 668.8 666.9 339.3 338.0 448.9 447.5 10.8 11.6
        557.7 556.0 228.3 228.1 998.0 995.8 888.8 887.6 119.6 120.2 0.3 0.3 0.6 0.3 557.6 556.8 339.3 339.1
        888.0 887.2 998.5 999.0 778.9 779.0 10.2 11.1 117.6 118.3 228.9 229.2 668.4 669.1 449.2 448.9 0.2 0.5"""
    y, x = np.array(rows.split(), dtype=float).reshape(-1, 2).T
    return Reference(x[:, None], y, np.array([-0.262323073774029, 1.00211681802045]))


def _pontius():
    y = """
        .11019 .21956 .32949 .43899 .54803 .65694 .76562 .87487 .98292 1.09146 1.20001 1.30822 1.41599 1.52399
        1.63194 1.73947 1.84646 1.95392 2.06128 2.16844 .11052 .22018 .32939 .43886 .54798 .65739 .76596 .87474
        .98300 1.09150 1.20004 1.30818 1.41613 1.52408 1.63159 1.73965 1.84696 1.95445 2.06177 2.16829"""
    x = np.tile(np.arange(1, 21) * 150000.0, 2)
    coef = np.array([0.673565789473684e-03, 0.732059160401003e-06, -0.316081871345029e-14])
    return Reference(_powers(x, 2), np.array(y.split(), dtype=float), coef)


def _longley():
    rows = """
        60323 83.0 234289 2356 1590 107608 1947  61122 88.5 259426 2325 1456 108632 1948
        60171 88.2 258054 3682 1616 109773 1949  61187 89.5 284599 3351 1650 110929 1950
        63221 96.2 328975 2099 3099 112075 1951  63639 98.1 346999 1932 3594 113270 1952
        64989 99.0 365385 1870 3547 115094 1953  63761 100.0 363112 3578 3350 116219 1954
        66019 101.2 397469 2904 3048 117388 1955  67857 104.6 419180 2822 2857 118734 1956
        68169 108.4 442769 2936 2798 120445 1957  66513 110.8 444546 4681 2637 121950 1958
        68655 112.6 482704 3813 2552 123366 1959  69564 114.2 502601 3931 2514 125368 1960
        69331 115.7 518173 4806 2572 127852 1961  70551 116.9 554894 4007 2827 130081 1962"""
    table = np.array(rows.split(), dtype=float).reshape(-1, 7)
    coef = """
        -3482258.63459582 15.0618722713733 -0.358191792925910E-01 -2.02022980381683 -1.03322686717359
        -0.511041056535807E-01 1829.15146461355"""
    return Reference(table[:, 1:], table[:, 0], np.array(coef.split(), dtype=float))


def _filip():
    rows = """
        .8116 -6.860120914 .9072 -4.324130045 .9052 -4.358625055 .9039 -4.358426747 .8053 -6.955852379
        .8377 -6.661145254 .8667 -6.355462942 .8809 -6.118102026 .7975 -7.115148017 .8162 -6.815308569
        .8515 -6.519993057 .8766 -6.204119983 .8885 -5.853871964 .8859 -6.109523091 .8959 -5.79832982
        .8913 -5.482672118 .8959 -5.171791386 .8971 -4.851705903 .9021 -4.517126416 .909 -4.143573228
        .9139 -3.709075441 .9199 -3.499489089 .8692 -6.300769497 .8872 -5.953504836 .89 -5.642065153
        .891 -5.031376979 .8977 -4.680685696 .9035 -4.329846955 .9078 -3.928486195 .7675 -8.56735134
        .7705 -8.363211311 .7713 -8.107682739 .7736 -7.823908741 .7775 -7.522878745 .7841 -7.218819279
        .7971 -6.920818754 .8329 -6.628932138 .8641 -6.323946875 .8804 -5.991399828 .7668 -8.781464495
        .7633 -8.663140179 .7678 -8.473531488 .7697 -8.247337057 .77 -7.971428747 .7749 -7.676129393
        .7796 -7.352812702 .7897 -7.072065318 .8131 -6.774174009 .8498 -6.478861916 .8741 -6.159517513
        .8061 -6.835647144 .846 -6.53165267 .8751 -6.224098421 .8856 -5.910094889 .8919 -5.598599459
        .8934 -5.290645224 .894 -4.974284616 .8957 -4.64454848 .9047 -4.290560426 .9129 -3.885055584
        .9209 -3.408378962 .9219 -3.13200249 .7739 -8.726767166 .7681 -8.66695597 .7665 -8.511026475
        .7703 -8.165388579 .7702 -7.886056648 .7761 -7.588043762 .7809 -7.283412422 .7961 -6.995678626
        .8253 -6.691862621 .8602 -6.392544977 .8809 -6.067374056 .8301 -6.684029655 .8664 -6.378719832
        .8834 -6.065855188 .8898 -5.752272167 .8964 -5.132414673 .8963 -4.811352704 .9074 -4.098269308
        .9119 -3.66174277 .9228 -3.2644011"""
    y, x = np.array(rows.split(), dtype=float).reshape(-1, 2).T
    coef = """
        -1467.48961422980 -2772.17959193342 -2316.37108160893 -1127.97394098372 -354.478233703349
        -75.1242017393757 -10.8753180355343 -1.06221498588947 -0.670191154593408E-01 -0.246781078275479E-02
        -0.402962525080404E-04"""
    return Reference(_powers(x, 10), y, np.array(coef.split(), dtype=float))


def _wampler(number):
    """The sum of x^k up to x^5, in the second dataset of x^k / 10^k, and errors at right angles to all of them."""
    x = np.arange(21.0)
    base = [0.1**k if number == 2 else 1.0 for k in range(6)]
    if number == 2:
        y = np.array([sum(int(v) ** k * 10 ** (5 - k) for k in range(6)) for v in x]) / 1e5
    else:
        y = sum(x**k for k in range(6))
    half = [759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048]
    error = {3: 1, 4: 100, 5: 10_000}.get(number, 0)
    return Reference(_powers(x, 5), y + error * np.array([*half, 2048, *half[::-1]]), np.array(base))


def _through_zero(x, y, coef):
    return Reference(np.array(x, dtype=float)[:, None], np.array(y, dtype=float), np.array([coef]), fit_intercept=False)


#: name -> dataset; the certified figures have 15 digits
REFERENCES = {
    "Norris": _norris(),
    "Pontius": _pontius(),
    "NoInt1": _through_zero(range(60, 71), range(130, 141), 2.07438016528926),
    "NoInt2": _through_zero([4, 5, 6], [3, 4, 4], 0.727272727272727),
    "Filip": _filip(),
    "Longley": _longley(),
} | {f"Wampler{k}": _wampler(k) for k in range(1, 6)}


def correct_digits(found, certified):
    """The least log relative error of the coefficients, at most the 15 digits that are certified."""
    with np.errstate(divide="ignore"):
        return float(np.clip(-np.log10(np.abs(found - certified) / np.abs(certified)), 0, 15).min())
