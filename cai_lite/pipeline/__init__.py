"""A whole run: read the recipe, open the models it names, and execute the stages from prompts to report."""
