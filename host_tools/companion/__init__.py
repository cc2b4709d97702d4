"""The page that shows the owner what the devices do: served by the receiver, in a browser."""
