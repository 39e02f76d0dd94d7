"""Documents and drawings, and the forms they are written in: HTML, Markdown, LaTeX, SVG, PNG."""
