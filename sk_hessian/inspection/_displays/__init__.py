"""Displays of fitted estimators, in scikit-learn's form: computed once, plotted as often as wanted."""
