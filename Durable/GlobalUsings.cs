global using Microsoft.DurableTask;
global using Microsoft.DurableTask.Client;
global using OrchestrationAlreadyExistsException = DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException;
