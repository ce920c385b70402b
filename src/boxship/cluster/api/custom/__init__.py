"""Custom resources as the API serves them: from CustomResourceDefinitions in the store to Definitions in the catalogue,
their names and conditions, conversion between their versions, and their end.

`customs` follows the store; what it decides with is pure and lies in `names` and `definitions`.
"""
