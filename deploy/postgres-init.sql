-- Tiled keeps its catalog and the tables of events in two databases; the first is made by the image.
CREATE DATABASE storage OWNER tiled;
