"""Operations on images as arrays: masks, colours, resizing."""
