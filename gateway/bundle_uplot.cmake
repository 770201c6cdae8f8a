# cmake -DPACKAGE=node_modules/uplot -DOUT=FOLDER -P bundle_uplot.cmake
# uPlot's minified script as a module that a page can import, with its licence, and its style sheet.
file(READ "${PACKAGE}/LICENSE" license)
file(READ "${PACKAGE}/dist/uPlot.iife.min.js" script)
file(READ "${PACKAGE}/dist/uPlot.min.css" style)
file(WRITE "${OUT}/uplot.js" "/*\n${license}\n*/\n${script}\nexport default uPlot;\n")
file(WRITE "${OUT}/uplot.css" "/*\n${license}\n*/\n${style}\n")
