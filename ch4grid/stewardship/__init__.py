"""The care of published stores: repair what is damaged, say how things stand, explain a value, take years back.

Each verb has a module of its own name and is imported from there: saying how things stand needs none of the machinery
that repairs.
"""
