"""Pictures of plain arrays, without Jittor: boxes, distillation regions, edge distributions, curves, grids.

Every drawing function returns an image as uint8 [H, W, 3] in **BGR** order, as OpenCV reads and writes it,
and leaves its input untouched; `canvas.write_image` puts one into a file. Import the file that is needed:
`boxes`, `regions` and `montage` use OpenCV only, `distributions` and `curves` use matplotlib.
"""
