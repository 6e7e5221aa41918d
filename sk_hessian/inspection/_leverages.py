"""What rows, and groups of rows, tell of a fit: corrections of their scores, and degrees of freedom that go with these.

All is in the coordinates of a factor of the information, in which that of all rows is the identity. A group whose own
information is S there has a hat matrix with the same eigenvalues: no matrix as large as a group is needed.
"""

from dataclasses import dataclass, replace

import numpy as np

#: an eigenvalue of a hat matrix that is nearer to one leaves nothing that the digits could tell
NOTHING_LEFT = 1e-10

#: an eigenvalue below this share of one is rounding
_NOTHING_TOLD = 1e-14

#: numbers that a pass over the groups may have at a time, and columns of a matrix of combinations times coordinates
_CHUNK = 2**21
_MOST_COMBINED = 3000


@dataclass(frozen=True)
class Leverages:
    """The eigenvalues and eigenvectors of some rows' hat matrices, those of each row's outputs.

    ``root`` (n, m, m) is the symmetric root of their second derivatives, ``reach`` (n, m, m) what moves their raw
    predictions, ``values`` (n, m) and ``vectors`` those of ``root reach root``. A row that stands for ``counts`` equal
    ones is one of them.
    """

    root: np.ndarray
    reach: np.ndarray
    values: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, terms, counts):
        """Those of `RowTerms`."""
        along = terms.along
        reach = (terms.share / counts)[:, None, None] * np.einsum("nkr,nlr->nkl", along, along)
        if along.shape[1] == 1:
            root = np.sqrt(np.maximum(terms.bend, 0.0))
            return cls(root, reach, (root * reach * root)[:, :, 0], np.ones_like(root))
        bend, vectors = np.linalg.eigh(terms.bend)
        root = (vectors * np.sqrt(np.maximum(bend, 0.0))[:, None, :]) @ vectors.transpose(0, 2, 1)
        return cls(root, reach, *np.linalg.eigh(root @ reach @ root))

    @property
    def largest(self):
        """The largest eigenvalue of each row, (n,): the leverage, for one output."""
        return self.values[:, -1]

    def corrected(self, slope, power):
        """(I - hat)^-power times the slopes (n, m) of the rows' losses."""
        values = np.maximum(self.values, _NOTHING_TOLD)
        gain = np.expm1(-power * np.log1p(-values)) / values
        along = self.vectors.transpose(0, 2, 1) @ (self.root @ (self.reach @ slope[:, :, None]))
        return slope + (self.root @ self.vectors @ (gain[:, :, None] * along))[:, :, 0]

    def directions(self, terms, counts):
        """Vectors (n, m, r) whose outer products sum to what each row tells, orthogonal within a row."""
        along = np.sqrt(terms.share / counts)[:, None, None] * (self.root @ terms.along)
        return self.vectors.transpose(0, 2, 1) @ along


@dataclass(frozen=True)
class GroupLeverages:
    """What independent groups of rows tell: S_g, the sum of the outer products of its ``directions``.

    Attributes are ``directions`` (n, r), group by group and orthogonal within a group; ``values`` (n,), the squares of
    their lengths, which are the eigenvalues of the group's hat matrix; ``first`` (G,), where each group begins;
    ``counts`` (G,), how many equal ones each stands for; and ``root`` (n_parameters, r), the parameters in coordinates.
    """

    directions: np.ndarray
    values: np.ndarray
    first: np.ndarray
    counts: np.ndarray
    root: np.ndarray

    @classmethod
    def of_information(cls, information, root):
        """From the matrices S_g (G, r, r)."""
        values, vectors = np.linalg.eigh(information)
        told = values > _NOTHING_TOLD
        # a group that tells nothing keeps one direction, so that it has a place
        told[:, -1] = True
        directions = (vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]).transpose(0, 2, 1)[told]
        first = np.append(0, np.cumsum(told.sum(axis=1)))[:-1]
        return cls(directions, np.maximum(values[told], 0.0), first, np.ones(len(information)), root)

    @property
    def _inverse(self):
        """The eigenvalues of the pseudo-inverse of I - S_g, (n,)."""
        left = 1 - self.values
        return np.divide(1.0, left, out=np.zeros_like(left), where=left > NOTHING_LEFT)

    def corrected(self, sums):
        """The root of the pseudo-inverse of I - S_g times the sums of scores (G, r) of the groups."""
        size = np.diff(np.append(self.first, len(self.values)))
        along = np.einsum("nr,nr->n", self.directions, np.repeat(sums, size, axis=0))
        values = np.maximum(self.values, _NOTHING_TOLD)
        gain = (np.sqrt(self._inverse) - 1) / values
        return sums + np.add.reduceat(self.directions * (gain * along)[:, None], self.first)

    def through(self, T):
        """Those of combinations T (m, n_parameters) of the parameters."""
        return replace(self, root=T @ self.root)

    def df_of_each(self, L=None):
        """Satterthwaite's degrees of freedom of each combination L (m, n_parameters), of each parameter; (m,)."""
        return np.array([self._df(row[None]) for row in (self.root if L is None else L @ self.root)])

    def df(self, L):
        """Those of the quadratic form of combinations L (q, n_parameters) and their covariance.

        The covariance is that of scores corrected by `corrected`. If the model's variances are true and targets normal,
        it is matched with a Wishart matrix of so many degrees of freedom, by its mean and the sum of its variances; of
        one combination that is Satterthwaite's approximation by a chi-squared variable.
        """
        return self._df(L @ self.root)

    def _df(self, C):
        """The same of combinations C (q, r) of coordinates."""
        q, r = C.shape
        if q * r > _MOST_COMBINED:
            raise ValueError(f"the degrees of freedom of {q} terms together need too large a matrix: test fewer terms")
        # combinations that are independent of each other and have variance one
        C = np.linalg.qr(C.T)[0]
        together, own = np.zeros((q * r, q * r)), 0.0
        for part, groups in self._chunks(q):
            moved, inverse, counts = self.directions[part] @ C, self._inverse[part], self.counts[groups]
            starts = self.first[groups] - self.first[groups][0]
            U = self.directions[part][:, :, None] * (moved * np.sqrt(inverse)[:, None])[:, None, :]
            U = np.add.reduceat(U, starts)
            A = np.add.reduceat(moved[:, :, None] * (moved * inverse[:, None])[:, None, :], starts)
            cross = U.transpose(0, 2, 1) @ U
            own += counts @ (_spread(A - cross) - _spread(cross))
            U = U.reshape(len(U), -1)
            together += (U * counts[:, None]).T @ U
        T = together.reshape(r, q, r, q)
        total = own + np.sum(together**2) + np.einsum("asbt,atbs->", T, T)
        return q * (q + 1) / total

    def _chunks(self, q):
        """Slices of the directions and of the groups, a few of them at a time."""
        ends = np.append(self.first[1:], len(self.values))
        most, begin = max(_CHUNK // (q * self.directions.shape[1]), 1), 0
        while begin < len(self.first):
            end = max(int(np.searchsorted(ends, self.first[begin] + most, side="right")), begin + 1)
            yield slice(self.first[begin], ends[end - 1]), slice(begin, end)
            begin = end


def information_of(index, n_groups):
    """A function from `RowTerms` to what groups tell, (n_groups, r, r) in a tuple.

    ``index`` (n_rows,) has the number of each row's group, from 0 on, and -1 for rows of none.
    """

    def of_block(terms):
        mine, r = index[terms.part], terms.along.shape[2]
        found, order = np.zeros((n_groups, r, r)), np.argsort(mine, kind="stable")
        present, first = np.unique(mine[order], return_index=True)
        bent = terms.share[:, None, None] * (terms.bend @ terms.along)
        for group, rows in zip(present, np.split(order, first[1:]), strict=True):
            if group >= 0:
                found[group] = np.tensordot(terms.along[rows], bent[rows], axes=((0, 1), (0, 1)))
        return (found,)

    return of_block


def _spread(P):
    """The sum of the squares of traces and of the traces of squares of matrices (n, q, q), (n,)."""
    return np.einsum("gss->g", P) ** 2 + np.einsum("gst,gts->g", P, P)
