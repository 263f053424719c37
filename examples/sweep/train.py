"""Trains one candidate of a hyper-parameter sweep and prints its cross-validated error as JSON.

The model is a polynomial with a ridge penalty, fitted by the normal equations: plain Python, so that it runs wherever
Python does. data.csv is synthetic: 120 noisy samples of a smooth curve.
"""

import csv
import json
import sys

FOLDS = 5


def features(x, degree):
    return [x**power for power in range(degree + 1)]


def solve(matrix, vector):
    """Gaussian elimination with partial pivoting."""
    rows = [row[:] + [value] for row, value in zip(matrix, vector)]
    size = len(rows)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for row in range(column + 1, size):
            factor = rows[row][column] / rows[column][column]
            for at in range(column, size + 1):
                rows[row][at] -= factor * rows[column][at]
    solution = [0.0] * size
    for row in reversed(range(size)):
        known = sum(rows[row][at] * solution[at] for at in range(row + 1, size))
        solution[row] = (rows[row][size] - known) / rows[row][row]
    return solution


def fit(samples, degree, penalty):
    size = degree + 1
    matrix = [[penalty if row == column else 0.0 for column in range(size)] for row in range(size)]
    vector = [0.0] * size
    for x, y in samples:
        phi = features(x, degree)
        for row in range(size):
            vector[row] += phi[row] * y
            for column in range(size):
                matrix[row][column] += phi[row] * phi[column]
    return solve(matrix, vector)


def error(samples, degree, penalty):
    """Root mean square error over the folds, each predicted by a model that has not seen it."""
    squares = 0.0
    for fold in range(FOLDS):
        weights = fit([s for at, s in enumerate(samples) if at % FOLDS != fold], degree, penalty)
        for x, y in samples[fold::FOLDS]:
            predicted = sum(weight * value for weight, value in zip(weights, features(x, degree)))
            squares += (predicted - y) ** 2
    return (squares / len(samples)) ** 0.5


def main():
    candidate = json.loads(sys.argv[1])
    with open(sys.argv[2], newline="") as file:
        samples = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]
    degree, penalty = int(candidate["degree"]), float(candidate["penalty"])
    print(json.dumps({"degree": degree, "penalty": penalty, "rmse": round(error(samples, degree, penalty), 4)}))


if __name__ == "__main__":
    main()
