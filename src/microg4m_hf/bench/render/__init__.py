"""Documents, charts and their output formats: HTML, Markdown, LaTeX, SVG, PNG."""
