"""A way from 西安80 to CGCS2000 as tests take it: made up, of a size as real ones have."""

SEVEN = {
    "dx_m": 24.0,
    "dy_m": -123.0,
    "dz_m": -94.0,
    "rx_arcsec": -0.02,
    "ry_arcsec": 0.25,
    "rz_arcsec": 0.13,
    "scale_ppm": 1.1,
}
