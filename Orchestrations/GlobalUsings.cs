// Orchestrators and activities are written against Microsoft.DurableTask. The engine (Librarian.Durable) adds queues and starts inside a
// transaction.
global using Librarian.Contracts;
global using Librarian.Durable;
global using Microsoft.DurableTask;
global using Microsoft.DurableTask.Client;
