"""The Python interface: `import sentinel_sim as ss`.

- `running`     `ss.run`: from arguments to a finished experiment, also inside a notebook
- `result`      `ss.load` and `Result`: what a result directory holds, as tables and figures
- `frames`      runs, means and verdicts as pandas DataFrames (pure)
- `timeseries`  what one run's raw log says over time, as a DataFrame (pure)
- `plotting`    the figures of `report.html`, as plotly figures
- `notebook`    progress and HTML inside Jupyter
"""
