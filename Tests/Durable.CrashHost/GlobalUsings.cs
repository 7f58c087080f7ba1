global using Microsoft.DurableTask;
global using Microsoft.DurableTask.Client;
global using Microsoft.DurableTask.Worker;
