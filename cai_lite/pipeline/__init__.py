"""A whole run: the recipe, the models it names, and the walk from prompts to report."""
