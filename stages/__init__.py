"""The five stages and the pipeline that runs them in order."""
