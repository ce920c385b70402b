"""Custom resources as pure values: what a CustomResourceDefinition's schemas must be, the types they become, and how
objects of such a kind are read, pruned, defaulted, validated and published.

`structural` judges schemas, `types` turns them into Types whose `rules` are Checks, and everything else walks those.
What makes a definition served is the API's `custom`.
"""
