// The orchestrators would compile against Microsoft.DurableTask after changing this one line (docs/adr/0001-custom-handler.md).
global using Librarian.Durable;
