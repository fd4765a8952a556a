"""Methods that were tried and are not (or not yet) part of the package: prototypes, each close to its formula.

Each function is a plug-in: `unlearn-cli unlearn ... --method benchmarks.methods.candidates.dampen:ssd --allow-code`.
`python -m benchmarks.methods.candidates` compares them with the methods of the package.
"""
